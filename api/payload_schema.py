"""The JSON Schema of a payload, as it is checked when work is dispatched."""

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema


class PayloadSchema(GenerateJsonSchema):
    """Generates pydantic's schema, in which a model that does not say `extra=` takes no field that
    it does not have: `work.definitions.validate_new` holds callers to that."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        """Return the schema of a model."""
        found = super().model_schema(schema)
        if not schema.get("root_model") and "extra" not in schema["cls"].model_config:
            found.setdefault("additionalProperties", False)
        return found
