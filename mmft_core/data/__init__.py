"""What data sets are made of: reading, dividing and checking samples.

tables, row_ids                                         a table, read once; what rows are called
  table_files, delimited, separators, records, swallowed      from text: CSV, TSV
  json_rows, json_shapes, parquet, workbooks, saved_tables    from other formats, and folders
  headers, typed_columns, extension_types                     to columns with names and types
cells, names, class_targets, class_doubts               from cells to texts, names and classes
table_options, table_columns, target_rows, divided_table  tables, as data sets use them
file_columns, row_files                                 files that a table's rows name or hold
class_folders, class_folder_dataset, labelled_files     folders of files with a class each
splits, split_options, set_aside, folds                 dividing samples
soundness                                               finding samples that cannot be used
fingerprints, likeness                                  telling whether samples have changed
chunks                                                  working on all samples, on all cores
"""
