"""Other engines on the same model and the same texts: one file a peer, each run in a process of its own by ``child``.

A peer has ``open_peer(folder, variant, num_threads)``, which returns a function from N texts to scores_NC in input
order. ``folder`` is what ``models`` made of one Bundle; what else a peer needs it makes there on first use. Only that
function is timed.
"""
