"""Who may do what: accounts, roles and permissions, sign-in, API tokens. Imports no Flask, and never commits."""
