# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the variables of role certificates on the controller: what is wrong with them, and the files that they name.

Everything that can be known before a host is touched is found here, so that a wrong key or an expired certificate
stops the play before its first change. Messages name certificates and files, never a key.
"""
