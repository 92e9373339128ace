"""A service that lets plug-ins of several parties check texts, and fails closed."""
