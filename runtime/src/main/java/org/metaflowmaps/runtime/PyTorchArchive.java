package org.metaflowmaps.runtime;

import static org.metaflowmaps.runtime.SafetensorsException.clean;
import static org.metaflowmaps.runtime.SafetensorsException.quote;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;
import org.apache.commons.compress.archivers.zip.ZipArchiveEntry;
import org.apache.commons.compress.archivers.zip.ZipFile;

/** Where the records of a PyTorch file lie; they are stored without compression, so each is a piece of the mapping. */
final class PyTorchArchive {
    /** Far above what thousands of tensors need. */
    static final long MAX_PICKLE = 64_000_000;

    private static final String PICKLE = "/data.pkl";
    private static final String WHOLE = "a whole file as torch.save writes it: it is damaged or truncated, fetch it again";

    private final String file;
    private final MemorySegment whole;
    private final Map<String, ZipArchiveEntry> records = new HashMap<>();

    private PyTorchArchive(String file, MemorySegment whole) {
        this.file = file;
        this.whole = whole;
    }

    /**
     * Reads the archive's directory.
     *
     * @param whole the file's bytes, from the first to the last
     */
    static PyTorchArchive read(Path path, MemorySegment whole) throws IOException {
        String file = path.toString();
        if (whole.byteSize() < 4 || whole.get(ValueLayout.JAVA_BYTE, 0) != 'P' || whole.get(ValueLayout.JAVA_BYTE, 1) != 'K') {
            throw new PyTorchException(file, "the file does not begin as an archive", "PyTorch's format since version 1.6: "
                    + "load an older file with torch.load and write it again with torch.save");
        }
        List<ZipArchiveEntry> all;
        try (ZipFile zip = ZipFile.builder().setPath(path).get()) {
            all = Collections.list(zip.getEntries());
        } catch (IOException | RuntimeException e) {
            // What a damaged directory makes the library throw is not only what it declares.
            throw new PyTorchException(file, "the archive cannot be read (" + clean(String.valueOf(e.getMessage()), 200) + ")", WHOLE, e);
        }
        PyTorchArchive archive = new PyTorchArchive(file, whole);
        List<String> roots = new ArrayList<>();
        for (ZipArchiveEntry entry : all) {
            String name = entry.getName();
            if (name.endsWith(PICKLE) && name.indexOf('/') == name.length() - PICKLE.length()) {
                roots.add(name.substring(0, name.length() - PICKLE.length() + 1));
            }
        }
        if (roots.size() != 1) {
            throw new PyTorchException(file, "the archive has " + (roots.isEmpty() ? "no" : "several") + " NAME/data.pkl",
                    "one, as torch.save writes it");
        }
        for (ZipArchiveEntry entry : all) {
            String name = entry.getName();
            if (name.startsWith(roots.getFirst()) && archive.records.put(name.substring(roots.getFirst().length()), entry) != null) {
                throw new PyTorchException(file, "the archive has two records " + quote(name), "each name once");
            }
        }
        return archive;
    }

    boolean has(String name) {
        return records.containsKey(name);
    }

    /** Where a record begins in the file, once it is known to be whole and as it is. */
    long begin(String name) throws PyTorchException {
        ZipArchiveEntry entry = entry(name);
        if (entry.getMethod() != ZipArchiveEntry.STORED || entry.getGeneralPurposeBit().usesEncryption()
                || entry.getCompressedSize() != entry.getSize()) {
            throw new PyTorchException(file, "record " + quote(name) + " is compressed or encrypted",
                    "records stored as they are: unpack the archive and pack it again without compression (zip -0 -r)");
        }
        long begin = entry.getDataOffset();
        if (begin < 0 || entry.getSize() < 0 || entry.getSize() > whole.byteSize() - begin) {
            throw new PyTorchException(file, "record " + quote(name) + " reaches beyond the file's " + whole.byteSize() + " bytes", WHOLE);
        }
        return begin;
    }

    long size(String name) throws PyTorchException {
        return entry(name).getSize();
    }

    /** A short record, checked against its checksum. */
    byte[] bytes(String name) throws PyTorchException {
        long begin = begin(name);
        long size = size(name);
        if (size > MAX_PICKLE) {
            throw new PyTorchException(file, "record " + quote(name) + " has " + size + " bytes", "at most " + MAX_PICKLE);
        }
        byte[] bytes = whole.asSlice(begin, size).toArray(ValueLayout.JAVA_BYTE);
        CRC32 checksum = new CRC32();
        checksum.update(bytes);
        if (checksum.getValue() != entry(name).getCrc()) {
            throw new PyTorchException(file, "record " + quote(name) + " does not have its checksum", WHOLE);
        }
        return bytes;
    }

    private ZipArchiveEntry entry(String name) throws PyTorchException {
        ZipArchiveEntry entry = records.get(name);
        if (entry == null) {
            throw new PyTorchException(file, "record " + quote(name) + " is missing from the archive", WHOLE);
        }
        return entry;
    }
}
