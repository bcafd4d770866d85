package org.metaflowmaps.runtime.file;

/** The positions of the storages in a file of torch.save. */
interface PyTorchStorages {
    /** Returns a storage's offset in the file; negative if it is not in the file. */
    long begin(String key) throws PyTorchException;

    /** Returns a storage's size in bytes; negative if it is not in the file. */
    long size(String key) throws PyTorchException;
}
