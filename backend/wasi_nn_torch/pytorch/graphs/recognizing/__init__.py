"""The formats of files: models that can be loaded, and other files, with advice."""
