"""The web server of the page and the HTTP API: :mod:`malaria_detect.app.server.start` starts it."""
