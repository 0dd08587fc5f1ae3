"""Networks: encoders and their heads, the light ones, and what they begin with."""
