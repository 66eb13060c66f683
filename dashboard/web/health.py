"""For the machines that look after this one: liveness, readiness and metrics."""

from __future__ import annotations

import hmac
from dataclasses import asdict
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address

from flask import Blueprint, Response, current_app, jsonify, request
from flask.typing import ResponseReturnValue

from dashboard import metrics
from dashboard.readiness import Readiness
from dashboard.web.access import public, settings

blueprint = Blueprint("health", __name__)

FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")


@blueprint.get("/healthz")
@public("says that the process answers, and nothing else")
def healthz() -> ResponseReturnValue:
    """200 as long as the process answers. Checks nothing else, not even the database."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
@public("says whether the database can be reached and its schema is current, and nothing else")
def readyz() -> ResponseReturnValue:
    """200 if requests can be served, else 503 with the check that failed."""
    readiness: Readiness | None = current_app.extensions.get("readiness")
    if readiness is None:
        # if two first requests race, both use one of the two: the other has not connected yet
        readiness = current_app.extensions.setdefault("readiness", Readiness(settings().database_url))
    checks = readiness.check()
    told = jsonify(status="ready" if checks.passed else "not ready", checks=asdict(checks))
    return told, HTTPStatus.OK if checks.passed else HTTPStatus.SERVICE_UNAVAILABLE


@blueprint.get("/metrics")
@public("holds counts and no names; answers METRICS_NETWORKS and whoever has METRICS_TOKEN")
def scrape() -> ResponseReturnValue:
    """The metrics for Prometheus; 401 or 403 for anybody else."""
    if _has_token() or _is_near():
        return Response(metrics.exposition(), content_type=metrics.CONTENT_TYPE)
    if settings().metrics_token:
        return _refused("Send METRICS_TOKEN: Authorization: Bearer <token>.", 401)
    return _refused("Only METRICS_NETWORKS may read this, and this address is in none of them.", 403)


def _has_token() -> bool:
    given, expected = request.authorization, settings().metrics_token
    if not expected or given is None or given.type != "bearer" or not given.token:
        return False
    return hmac.compare_digest(given.token.encode(), expected.encode())


def _is_near() -> bool:
    # a proxy that TRUSTED_PROXIES does not count would lend its own address to everybody
    if not settings().trusted_proxies and any(name in request.headers for name in FORWARDED):
        return False
    try:
        address = ip_address(request.remote_addr or "")
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in settings().scrapers())


def _refused(text: str, status: int) -> Response:
    challenge = {"WWW-Authenticate": 'Bearer realm="metrics"'} if status == HTTPStatus.UNAUTHORIZED else {}
    return Response(f"{text}\n", status, challenge, mimetype="text/plain")
