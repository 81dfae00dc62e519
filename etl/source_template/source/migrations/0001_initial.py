import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Station',
            fields=[
                ('fetch_id', models.UUIDField(editable=False)),
                ('code', models.CharField(max_length=32, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=200)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Reading',
            fields=[
                ('fetch_id', models.UUIDField(editable=False)),
                ('pk', models.CompositePrimaryKey('station_id', 'taken_at', blank=True, editable=False, primary_key=True, serialize=False)),
                ('taken_at', models.DateTimeField()),
                ('value', models.FloatField(null=True)),
                ('station', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='readings', to='source_name.station')),
            ],
            options={
                'abstract': False,
            },
        ),
    ]
