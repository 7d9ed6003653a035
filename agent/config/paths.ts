import * as z from 'zod';
import { configSchema } from './schema.js';

/** Returns the JSON Schema (draft 2020-12) of a configuration file. */
export const configJsonSchema = (): Schema => z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' });

type Schema = z.core.JSONSchema.BaseSchema;

export interface Setting {
  readonly path: readonly string[];
  /** Its JSON type, where it has exactly one. */
  readonly type: string | undefined;
}

/** Returns all scalar and list settings in the schema's order. */
export function listSettings(schema: Schema = configJsonSchema(), path: readonly string[] = []): Setting[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, member]) => {
    const here = [...path, key];
    if (typeof member !== 'object') return [];
    if (member.properties !== undefined) return listSettings(member, here);
    return typeof member.additionalProperties === 'object'
      ? []
      : [{ path: here, type: typeof member.type === 'string' ? member.type : undefined }];
  });
}

/** Returns the keys that the object at a path may have. */
export function keysAt(path: readonly PropertyKey[]): string[] {
  let schemas: readonly Schema[] = [configJsonSchema()];
  for (const step of path) {
    const members = schemas.flatMap((schema) => below(schema, String(step)));
    schemas = members.flatMap((schema) => schema.anyOf?.filter(isSchema) ?? [schema]);
  }
  return schemas.flatMap((schema) => Object.keys(schema.properties ?? {}));
}

function below(schema: Schema, step: string): Schema[] {
  const items = Array.isArray(schema.items) ? undefined : schema.items;
  const member = schema.properties?.[step] ?? items ?? schema.additionalProperties;
  return isSchema(member) ? [member] : [];
}

const isSchema = (schema: unknown): schema is Schema => typeof schema === 'object';
