"""Quarantine of single rows: an entry is known by its row's position too.

Entries are derived: the table is made anew, and the next replay of each source fills it.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('reshape', '0001_initial'),
    ]

    operations = [
        migrations.DeleteModel(name='QuarantineEntry'),
        migrations.CreateModel(
            name='QuarantineEntry',
            fields=[
                ('pk', models.CompositePrimaryKey('transform', 'fetch_id', 'ordinal', blank=True, editable=False, primary_key=True, serialize=False)),
                ('transform', models.CharField(max_length=200)),
                ('fetch_id', models.UUIDField()),
                ('ordinal', models.IntegerField(default=-1)),
                ('source', models.CharField(db_index=True, max_length=100)),
                ('feed', models.CharField(db_index=True, max_length=200)),
                ('url', models.TextField()),
                ('fetched_at', models.DateTimeField()),
                ('error', models.CharField(max_length=200)),
                ('message', models.TextField()),
                ('model', models.CharField(blank=True, max_length=200)),
                ('field', models.CharField(blank=True, max_length=200)),
                ('value', models.TextField(blank=True)),
                ('key', models.TextField(blank=True)),
            ],
        ),
        migrations.AddField(
            model_name='sourcestate',
            name='limit_exceeded',
            field=models.TextField(blank=True, default=''),
            preserve_default=False,
        ),
    ]
