"""Where work is done that can be cut into units: in this process, in several here, or on the machines of a cluster."""
