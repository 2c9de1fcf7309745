"""A fitted model beside what happened, as frames for `crm_ml.plots`."""
