def write(folder, bundle): return folder
def write_comparison(folder, title, group): return folder
