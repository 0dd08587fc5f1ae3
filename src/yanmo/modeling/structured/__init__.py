"""Models of the words of texts and of trees that need no network: what they learn, and how."""
