"""Generate the JSON Schemas of payloads. They describe what a dispatch accepts."""

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema


class PayloadSchema(GenerateJsonSchema):
    """Generates the schemas of pydantic models. If a model doesn't set `extra`, its schema allows
    no additional fields, because a dispatch refuses them."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        """Return the schema of a model."""
        json_schema = super().model_schema(schema)
        if not schema.get("root_model") and "extra" not in schema["cls"].model_config:
            json_schema.setdefault("additionalProperties", False)
        return json_schema
