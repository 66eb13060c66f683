"""Door 2: JSON. Every endpoint authorises a token, reads strictly, calls the engine, and answers; see routing.py."""

from flask import Flask

from dashboard.api import access, cors
from dashboard.api.batch import blueprint as progress
from dashboard.api.docs import serve_page
from dashboard.api.history import blueprint as history
from dashboard.api.openapi import serve_description
from dashboard.api.people import blueprint as people
from dashboard.api.problems import problem
from dashboard.api.releases import blueprint as releases
from dashboard.config import Settings
from dashboard.web.security import csrf

# progress is imported from batch.py, the last module to add to it: one blueprint, because they share an address
BLUEPRINTS = (progress, people, releases, history)


def init_app(app: Flask, settings: Settings) -> None:
    """Adds the API to the app: its endpoints, its description, and problem documents for everything under /api/."""
    app.extensions["problem"] = problem
    access.install(app, settings)
    cors.install(app, settings.cors_origins)
    for blueprint in BLUEPRINTS:
        # no cookie opens the API, so no other site can make a browser use it
        csrf.exempt(blueprint)
        app.register_blueprint(blueprint)
    serve_description(app, BLUEPRINTS)
    serve_page(app, BLUEPRINTS)
