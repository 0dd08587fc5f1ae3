"""Models of trees: the transition-based parser and its tagger; they know no artifact and no verb."""
