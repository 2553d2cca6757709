from tests.database_servers import simulated, template_folder

__all__ = ["simulated", "template_folder"]
