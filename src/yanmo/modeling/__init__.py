"""Networks and how they are trained: torch and scikit-learn live here; it knows no artifact and no command line."""
