"""The verb that runs a verb: many trainings, one Bundle; above the verbs, because it trains through train."""
