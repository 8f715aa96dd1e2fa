from django.db import migrations, models


class Migration(migrations.Migration):
    """That a live market's scenarios once followed from a recording, so that its loss is no choice of having none."""

    dependencies = [
        ("risk", "0013_surface_fits"),
    ]

    operations = [
        migrations.AddField(
            model_name="scenariosource",
            name="known_to",
            field=models.DateField(
                help_text="last day that a recording reached from which a live market's scenarios followed", null=True
            ),
        ),
    ]
