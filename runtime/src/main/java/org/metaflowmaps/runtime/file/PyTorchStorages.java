package org.metaflowmaps.runtime.file;

/** Where the storages of a file of torch.save lie. */
interface PyTorchStorages {
    /** A storage's first byte in the file; negative if the file does not have it. */
    long begin(String key) throws PyTorchException;

    /** A storage's size in bytes; negative if the file does not have it. */
    long size(String key) throws PyTorchException;
}
