"""What the API is measured against: bare Flask views over a raw psycopg pool. They check nothing and record nothing."""

from __future__ import annotations

import os

from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue
from psycopg_pool import ConnectionPool

DATABASE_URL = "BARE_DATABASE_URL"
UPDATE = """
UPDATE plain.user_onboarding SET status = %s, updated_at = now(), updated_by = 'bare' WHERE user_id = %s AND step_id = %s
"""
SELECT = """
SELECT u.step_id AS id, d.title, d.description, d.weight, d.action_url, u.version, u.status, u.updated_at
  FROM plain.user_onboarding u JOIN plain.onboarding_step_definitions d USING (step_id)
 WHERE u.user_id = %s AND d.is_active ORDER BY d.position
"""


def bare_app() -> Flask:
    """Serves PATCH of one step and GET of all, as a first version of them might be written."""
    app = Flask("bare")
    pool = ConnectionPool(os.environ[DATABASE_URL], min_size=8, max_size=8, open=True)
    app.extensions["pool"] = pool

    @app.get("/healthz")
    def alive() -> ResponseReturnValue:
        return jsonify(status="ok")

    @app.patch("/api/onboarding/steps/<step_id>")
    def save(step_id: str) -> ResponseReturnValue:
        body = request.get_json()
        with pool.connection() as connection:
            connection.execute(UPDATE, (body["status"], body["user_id"], step_id))
        return jsonify(success=True, step={"id": step_id, "status": body["status"]})

    @app.get("/api/onboarding/steps")
    def steps() -> ResponseReturnValue:
        with pool.connection() as connection:
            cursor = connection.execute(SELECT, (request.args["user_id"],))
            names = [column.name for column in cursor.description or ()]
            found = [dict(zip(names, row, strict=True)) for row in cursor]
        return jsonify(user_id=request.args["user_id"], steps=found)

    return app
