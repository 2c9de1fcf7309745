"""Whether the customers scored today are still like those a model was trained on."""
