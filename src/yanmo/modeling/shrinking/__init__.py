"""Parts of a network that are cut out, and the mean of several networks' weights."""
