"""Ops: what runs around the engine: local servers, migrations, dashboards, decisions and the runbook."""
