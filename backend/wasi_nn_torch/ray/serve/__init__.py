"""The server as a deployment of Ray Serve.

From top to bottom, each imports only those below it:

    deploying                          on the driver: from a configuration to an application of Serve
    hosted                             in a replica: the ASGI application, its start and its end
    figures, health, logs, placement   in a replica: metrics, failing models, the log, devices and files
    errors

The driver imports `deploying` and `errors` alone, and with them neither PyTorch nor Wasmtime: `deploying` imports
`hosted` in the replica.
"""
