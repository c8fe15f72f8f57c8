"""What data sets are made of: files, classes and splits.

A library of the built-in plugins; it declares no components of its own.

class_folders, class_folder_dataset, labelled_files     folders of files with a class each
hidden                                                  which folders are skipped
names, class_doubts                                     names of classes, and names that look alike
split_options, set_aside                                dividing samples without splits of their own
digits                                                  handwritten digits, for several plugins
unpacking                                               archives, unpacked safely and once
"""
