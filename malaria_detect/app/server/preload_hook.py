"""What the fork server of :mod:`multiprocessing` imports; nothing else may import this module."""

from malaria_detect.app.server.preload import load

# Work at import, because importing a module is the only thing that the fork server does before it forks.
load()
