// Reads pydantic's JSON schema, and chooses the field of a form for each value.

const DEEPEST = 4; // nested objects; deeper ones are edited as JSON

/** The fields of an object's schema, or null if the object has to be edited as JSON:
 * [{name, path, label, help, required, kind, choices, items, fields, standard}] */
export function fieldsOf(schema, root = schema, path = [], depth = 0) {
  const whole = resolve(schema, root);
  if (whole.type !== "object" || !whole.properties || depth > DEEPEST) return null;
  if (whole.additionalProperties && typeof whole.additionalProperties === "object") return null;
  return Object.entries(whole.properties).map(([name, given]) => {
    const each = unwrap(given, root);
    const here = [...path, name];
    return {
      name, path: here,
      label: capital(name.replaceAll("_", " ")),
      help: given.description ?? each.description ?? "",
      required: (whole.required ?? []).includes(name),
      standard: given.default ?? each.default,
      example: [given.examples, each.examples].flat().find((value) => value !== undefined),
      ...kindOf(each, root, here, depth),
    };
  });
}

/** The first value of a form: the schema's example, or an empty object. */
export function firstValue(schema) {
  const example = (schema.examples ?? [])[0];
  return example && typeof example === "object" ? structuredClone(example) : {};
}

function kindOf(schema, root, path, depth) {
  if (schema.enum || schema.const !== undefined) {
    return { kind: "choice", choices: schema.enum ?? [schema.const] };
  }
  switch (schema.type) {
    case "boolean":
      return { kind: "flag" };
    case "integer":
    case "number":
      return { kind: "number" };
    case "string":
      return { kind: isLong(schema) ? "text" : "line" };
    case "array": {
      const items = unwrap(schema.items ?? {}, root);
      const plain = items.type === "string" && !items.enum;
      return plain ? { kind: "lines" } : { kind: "json" };
    }
    case "object": {
      const fields = fieldsOf(schema, root, path, depth + 1);
      return fields ? { kind: "group", fields } : { kind: "json" };
    }
    default:
      return { kind: "json" };
  }
}

function isLong(schema) {
  return (schema.maxLength ?? 0) > 1200 || schema.format === "textarea";
}

/** A schema with its references resolved. */
function resolve(schema, root) {
  let found = schema;
  for (let hops = 0; found.$ref && hops < 10; hops += 1) {
    const name = decodeURIComponent(found.$ref.split("/").at(-1));
    const { $ref: _, ...own } = found;
    found = { ...(root.$defs ?? {})[name], ...own };
  }
  return found;
}

/** The schema of a nullable value without null. Another union stays as it is. */
function unwrap(schema, root) {
  const whole = resolve(schema, root);
  const others = (whole.anyOf ?? []).filter((each) => each.type !== "null");
  if (others.length !== 1) return whole;
  const { anyOf: _, ...own } = whole;
  return { ...resolve(others[0], root), ...own };
}

function capital(words) {
  return words[0].toUpperCase() + words.slice(1);
}
