"""The documents that say to other systems what is said: JSON Schemas, AsyncAPI, OpenAPI."""
