"""Columns of configurations: what is stored comes back, also from runs of older versions."""

import pandas as pd

from gansearch.config import TrialConfig
from gansearch.runs.schemas import config_columns, config_values, ranking_schema, trials_schema
from gansearch.runs.tables import conform, make_table, rows_of

CONFIGS = [
    TrialConfig(),
    TrialConfig(
        generator_widths=[64, 32],
        schedule=[{"at": 5000, "discriminator_lr": 0.02}, {"at": 9000, "gradient_penalty": "r1"}],
    ),
]


def read(table):
    return [TrialConfig.from_dict(config_values(row, TrialConfig)) for row in rows_of(table)]


def test_configurations_come_back_from_a_table_with_their_schedules():
    for schema in (trials_schema(TrialConfig), ranking_schema(TrialConfig)):
        table = make_table([config_columns(config) for config in CONFIGS], schema)
        assert read(table.to_pandas()) == CONFIGS
        assert table["config.schedule"].to_pylist() == [
            None,
            '[{"at": 5000, "discriminator_lr": 0.02}, {"at": 9000, "gradient_penalty": "r1"}]',
        ]


def test_a_table_of_an_older_version_has_no_schedules():
    schema = trials_schema(TrialConfig)
    older = make_table([config_columns(CONFIGS[0])], schema).drop_columns("config.schedule")
    frame = conform(older, schema).to_pandas()
    assert pd.isna(frame["config.schedule"]).all()
    assert read(frame) == CONFIGS[:1]
