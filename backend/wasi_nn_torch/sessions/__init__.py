"""Running guests: their directories, streams and limits, and figures of what they did."""
