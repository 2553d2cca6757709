from tests.database_servers import simulated, template_folder
from tests.mysql_servers import mysql_server

__all__ = ["mysql_server", "simulated", "template_folder"]
