"""How sure an estimate or a prediction is."""
