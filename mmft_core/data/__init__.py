"""What data sets are made of: reading, dividing and checking samples.

table_files                                             what files of tables are called
names, class_doubts                                     names of classes, and names that look alike
class_folders, class_folder_dataset, labelled_files     folders of files with a class each
splits, split_options, set_aside, folds                 dividing samples
soundness                                               finding samples that cannot be used
fingerprints, likeness                                  telling whether samples have changed
chunks                                                  working on all samples, on all cores
"""
