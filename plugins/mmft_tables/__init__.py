"""Tables as data sets: read once, whatever their format, and divided as their columns say.

A library of the built-in plugins; it declares no components of its own.

tables, row_ids                                 a table, read once; what rows are called
  delimited, separators, records, swallowed       from text: CSV, TSV
  json_rows, json_shapes, parquet, workbooks      from other formats
  saved_tables                                    from folders of files
  headers, typed_columns, extension_types         to columns with names and types
cells, class_targets                            from cells to texts and classes
table_options, table_columns                    what users say about columns
target_rows, divided_table                      tables, as data sets use them
table_dataset                                   a table of any content as a data set
file_columns, row_files                         files that a table's rows name or hold
"""
