package org.metaflowmaps.runtime.pretend;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What a shared library of 64-bit Linux takes from other libraries, read from its section headers (ELF).
 *
 * @param libraries the file names of the libraries that it needs
 * @param functions the symbols that other libraries define
 */
record ElfImports(Set<String> libraries, List<Function> functions) {
    private static final int DYNAMIC = 6;
    private static final int SYMBOLS = 11;
    private static final int VERSIONS_NEEDED = 0x6ffffffe;
    private static final int SYMBOL_VERSIONS = 0x6fffffff;
    private static final int NEEDED = 1;
    private static final int SYMBOL_BYTES = 24;

    /**
     * A symbol that another library defines.
     *
     * @param name the symbol
     * @param library the file name of the library; empty if the file does not say
     * @param version the version of the symbol; empty if it has none
     */
    record Function(String name, String library, String version) {}

    private record Section(int type, long offset, long size, int link, int count) {}

    private record Version(String library, String name) {}

    static ElfImports of(byte[] file) {
        ByteBuffer bytes = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        if (bytes.getInt(0) != 0x464c457f || bytes.get(4) != 2) {
            throw new IllegalArgumentException("not a 64-bit ELF file");
        }
        List<Section> sections = sections(bytes);
        Set<String> libraries = new LinkedHashSet<>();
        Map<Integer, Version> versions = new HashMap<>();
        for (Section section : sections) {
            if (section.type == DYNAMIC) {
                Section names = sections.get(section.link);
                for (long at = section.offset; at < section.offset + section.size; at += 16) {
                    if (bytes.getLong((int) at) == NEEDED) {
                        libraries.add(text(bytes, names, bytes.getLong((int) at + 8)));
                    }
                }
            } else if (section.type == VERSIONS_NEEDED) {
                versions.putAll(versions(bytes, section, sections.get(section.link)));
            }
        }
        return new ElfImports(libraries, functions(bytes, sections, versions));
    }

    private static List<Section> sections(ByteBuffer bytes) {
        List<Section> sections = new ArrayList<>();
        long start = bytes.getLong(0x28);
        int size = bytes.getShort(0x3a);
        for (int i = 0; i < bytes.getShort(0x3c); i++) {
            int at = (int) (start + (long) i * size);
            sections.add(new Section(
                    bytes.getInt(at + 4),
                    bytes.getLong(at + 24),
                    bytes.getLong(at + 32),
                    bytes.getInt(at + 40),
                    bytes.getInt(at + 44)));
        }
        return sections;
    }

    private static Map<Integer, Version> versions(ByteBuffer bytes, Section section, Section names) {
        Map<Integer, Version> versions = new HashMap<>();
        int at = (int) section.offset;
        for (int i = 0; i < section.count; i++) {
            String library = text(bytes, names, bytes.getInt(at + 4));
            int part = at + bytes.getInt(at + 8);
            for (int k = 0; k < bytes.getShort(at + 2); k++) {
                versions.put(
                        (int) bytes.getShort(part + 6),
                        new Version(library, text(bytes, names, bytes.getInt(part + 8))));
                part += bytes.getInt(part + 12);
            }
            at += bytes.getInt(at + 12);
        }
        return versions;
    }

    private static List<Function> functions(ByteBuffer bytes, List<Section> sections, Map<Integer, Version> versions) {
        Section numbers = sections.stream()
                .filter(section -> section.type == SYMBOL_VERSIONS)
                .findFirst()
                .orElse(null);
        List<Function> functions = new ArrayList<>();
        for (Section section : sections) {
            if (section.type != SYMBOLS) {
                continue;
            }
            Section names = sections.get(section.link);
            for (int i = 0; i < section.size / SYMBOL_BYTES; i++) {
                int at = (int) (section.offset + (long) i * SYMBOL_BYTES);
                boolean undefined = bytes.getShort(at + 6) == 0;
                String name = undefined ? text(bytes, names, bytes.getInt(at)) : "";
                if (!name.isEmpty()) {
                    int number = numbers == null ? 0 : bytes.getShort((int) (numbers.offset + 2L * i)) & 0x7fff;
                    Version version = versions.getOrDefault(number, new Version("", ""));
                    functions.add(new Function(name, version.library, version.name));
                }
            }
        }
        return functions;
    }

    private static String text(ByteBuffer bytes, Section names, long offset) {
        int from = (int) (names.offset + offset);
        int to = from;
        while (bytes.get(to) != 0) {
            to++;
        }
        byte[] name = new byte[to - from];
        bytes.get(from, name);
        return new String(name, StandardCharsets.UTF_8);
    }
}
