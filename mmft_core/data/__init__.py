"""What data sets are made of: reading, dividing and checking samples.

tables                                                  a table, read once
  table_files, delimited, separators, records, swallowed      from text: CSV, TSV
  json_rows, json_shapes, parquet, workbooks                  from other formats
  headers, typed_columns                                      to columns with names and types
cells, names, class_targets, class_doubts               from cells to texts, names and classes
table_options, table_columns, target_rows, divided_table  tables, as data sets use them
class_folders, class_folder_dataset, labelled_files     folders of files with a class each
splits, split_options, set_aside, folds                 dividing samples
soundness                                               finding samples that cannot be used
"""
