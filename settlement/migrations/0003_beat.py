from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """A sign of life is a transaction for no batch and no instruction."""

    dependencies = [("settlement", "0002_rights")]
    operations = [
        migrations.RemoveConstraint(model_name="chaintransaction", name="transaction_is_for_one_thing"),
        migrations.AddConstraint(
            model_name="chaintransaction",
            constraint=models.CheckConstraint(
                name="transaction_is_for_one_thing",
                condition=Q(batch__isnull=True) | Q(instruction__isnull=True),
            ),
        ),
    ]
