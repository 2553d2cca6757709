"""The admin API: what operators see and do, apart from platforms, with credentials of its own."""
