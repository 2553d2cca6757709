import typer

from broker.cli import (
    catalog_check,
    catalog_diff,
    catalog_docs,
    catalog_model,
    catalog_new,
    catalog_registry,
    catalog_schema,
    catalog_trial,
)

app = typer.Typer(help="Offerings and plans: on disk, and in a running broker.", no_args_is_help=True)

app.command("check")(catalog_check.check)
app.command("diff")(catalog_diff.diff)
app.command("docs")(catalog_docs.docs)
app.command("model")(catalog_model.model)
app.command("new")(catalog_new.new)
app.command("try")(catalog_trial.try_)
app.command("schema")(catalog_schema.schema)
app.command("register")(catalog_registry.register)
app.command("unregister")(catalog_registry.unregister)
app.command("withdraw")(catalog_registry.withdraw)
app.command("restore")(catalog_registry.restore)
app.command("rollback")(catalog_registry.rollback)
app.command("sources")(catalog_registry.sources)
app.command("revisions")(catalog_registry.revisions)
app.command("show")(catalog_registry.show)
