"""Generate the JSON Schema of a payload as a dispatch checks it."""

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema


class PayloadSchema(GenerateJsonSchema):
    """Generates pydantic's schema, but without additional fields for a model that doesn't set
    `extra=`, because `job_runners.work.definitions.validate_new` refuses them."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        """Return the schema of a model."""
        found = super().model_schema(schema)
        if not schema.get("root_model") and "extra" not in schema["cls"].model_config:
            found.setdefault("additionalProperties", False)
        return found
