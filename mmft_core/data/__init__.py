"""What data sets are made of: reading, dividing and checking samples.

tables, table_columns, target_rows, divided_table       tables, as data sets read them
class_folders, class_folder_dataset, labelled_files     folders of files with a class each
splits, split_options, set_aside, folds                 dividing samples
soundness                                               finding samples that cannot be used
fingerprints                                            telling whether samples have changed
chunks                                                  working on all samples, on all cores
"""
