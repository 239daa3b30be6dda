"""The settings that Zappa writes into the zip of an application with tasks and no pages."""

DEBUG = False
LOG_LEVEL = "WARNING"
ENVIRONMENT_VARIABLES: dict[str, str] = {}
DJANGO_SETTINGS = None
APP_MODULE = "zappa_program"
APP_FUNCTION = "app"
ASYNC_RESPONSE_TABLE = "zappa_results"
EXCEPTION_HANDLER = None
AWS_EVENT_MAPPING: dict[str, str] = {}
AWS_BOT_EVENT_MAPPING: dict[str, str] = {}
COGNITO_TRIGGER_MAPPING: dict[str, str] = {}
BINARY_SUPPORT = False
CONTEXT_HEADER_MAPPINGS: dict[str, str] = {}
DOMAIN = None
BASE_PATH = None
