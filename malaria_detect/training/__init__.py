"""Training of the networks: settings, data, callbacks, schedule, fit and export."""
