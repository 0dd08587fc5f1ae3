"""From a teacher and a budget to the Bundle that meets it: shapes, candidates, measurements, the choice, the Report."""
