"""What a server is told, on one machine or on a cluster: from TOML and options to values, and to an application.

    hosting    the engine and the application for a configuration
    serving    the configuration of a server, by one table of keys
    graphs     the options of a model
    values     parsers for values

All but `hosting` import neither PyTorch nor Wasmtime, so that a configuration can be read where no model runs.
"""
