"""Python host bindings from WIT: parse, resolve, generate."""
