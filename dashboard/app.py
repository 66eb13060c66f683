"""Assembles the web application: its options, its database, its doors."""

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from dashboard import api, metrics, paths, web
from dashboard.config import Settings
from dashboard.database import Database
from dashboard.web import assets, compression, errors, rendering, requestlog, security
from dashboard.web.cookies import BrowserSession


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application. Raises MissingAssetsError or SettingsError with a plain message."""
    if settings is None:
        settings = Settings.from_environment()
        settings.refuse_unsafe()
    app = Flask("dashboard", template_folder=str(paths.TEMPLATES), static_folder=None)
    # an address with an extra slash is unknown like any other: a redirect would be a page, even under /api
    app.url_map.merge_slashes = False
    configure(app, settings)
    app.extensions["settings"] = settings
    app.extensions["database"] = Database(settings)
    requestlog.install(app)
    metrics.install(app)
    compression.install(app)
    assets.install(app)
    security.install(app)
    rendering.install(app)
    errors.install(app)
    open_doors(app, settings)
    return app


def configure(app: Flask, settings: Settings) -> None:
    """Sets Flask's own options from the settings."""
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SECRET_KEY_FALLBACKS=list(settings.old_secret_keys),
        # the last one signs, and all can verify
        WTF_CSRF_SECRET_KEY=[*settings.old_secret_keys, settings.secret_key],
        DEMO=settings.demo,
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        MAX_FORM_MEMORY_SIZE=settings.max_body_bytes,
        SESSION_COOKIE_NAME="dashboard",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.secure_cookies or settings.is_https,
        HSTS_SECONDS=settings.hsts_seconds,
        PAGES_AT=settings.base_url,
    )
    app.session_interface = BrowserSession()
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]


def open_doors(app: Flask, settings: Settings) -> None:
    """Registers the pages, then the API."""
    for blueprint in web.blueprints():
        app.register_blueprint(blueprint)
    api.init_app(app, settings)
